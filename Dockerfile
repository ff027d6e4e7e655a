# syntax=docker/dockerfile:1
# vidcam on a CPU:   docker build -t vidcam .
# and on a GPU:      docker build -t vidcam:cuda --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 --build-arg TORCH=cu130 .
# A clip of yours:   docker run --rm --network none --user "$(id -u)" -v "$PWD:/data" vidcam explain clip.mp4 --out out
ARG BASE=debian:12-slim
FROM ${BASE}
ARG TORCH=cpu

# The base decides which release of Python 3 this is.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/vidcam \
    && useradd --uid 10001 --create-home vidcam \
    && install --directory --owner vidcam /data

ENV PATH=/opt/vidcam/bin:$PATH PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib
COPY constraints.txt /opt/vidcam/
RUN pip install --no-cache-dir --constraint /opt/vidcam/constraints.txt \
    --index-url "https://download.pytorch.org/whl/${TORCH}" torch torchvision
RUN --mount=type=bind,target=/src,rw \
    pip install --no-cache-dir --constraint /opt/vidcam/constraints.txt "/src[app]"

USER 10001
WORKDIR /data
ENTRYPOINT ["vidcam"]
CMD ["doctor"]
