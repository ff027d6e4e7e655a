// Workers on pages that are opened from disk, where browsers refuse real ones: the search runs in a hidden frame instead.
// MkDocs Material looks for a script of this name, and its search for window.IFrameWorker.

class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.waiting = [];
    const frame = document.createElement("iframe");
    frame.hidden = true;
    frame.title = "search";
    document.body.append(frame);
    this.window = frame.contentWindow;
    this.window.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    this.window.importScripts = async (...urls) => {
      for (const one of urls) await this.load(one);
    };
    this.load(url).then(() => {
      const messages = this.waiting;
      this.waiting = null;
      messages.forEach((data) => this.postMessage(data));
    });
  }

  load(url) {
    return new Promise((resolve, reject) => {
      const script = this.window.document.createElement("script");
      script.src = new URL(url, document.baseURI).href;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${url} cannot be read`));
      this.window.document.body.append(script);
    });
  }

  postMessage(data) {
    if (this.waiting) this.waiting.push(data);
    else this.window.dispatchEvent(new MessageEvent("message", { data }));
  }

  terminate() {
    this.window.frameElement.remove();
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}
