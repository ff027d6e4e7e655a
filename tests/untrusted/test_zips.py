from __future__ import annotations

import io
import struct
import zipfile

import pytest

from vidcam.untrusted.zips import check_stored, open_zip


def _zip(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = comment
    return out.getvalue()


GOOD = _zip({"a.txt": b"one", "b.txt": b"two" * 100})


def test_a_good_zip_is_opened() -> None:
    with open_zip(io.BytesIO(GOOD), 1000) as archive:
        assert archive.namelist() == ["a.txt", "b.txt"] and archive.read("b.txt") == b"two" * 100
    with open_zip(io.BytesIO(_zip({})), 1000) as archive:
        assert archive.namelist() == []


def test_the_list_of_members_is_bounded_before_it_is_read() -> None:
    many = _zip({f"{i:0100}": b"" for i in range(50)})
    (listed,) = struct.unpack_from("<I", many, len(many) - 22 + 12)
    open_zip(io.BytesIO(many), listed)
    with pytest.raises(
        zipfile.BadZipFile, match=f"its list of members has {listed:,} bytes; {listed - 1:,} are allowed"
    ):
        open_zip(io.BytesIO(many), listed - 1)


def test_a_list_of_64_bits_is_bounded_too() -> None:
    """As torch writes it: the real end stands before one whose sizes are all ones."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"one")
    data = out.getvalue()
    start = data.index(b"PK\1\2")
    listed = len(data) - 22 - start
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, listed, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(data) - 22, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    large = data[:-22] + end64 + locator + end
    with open_zip(io.BytesIO(large), 1000) as archive:
        assert archive.read("a") == b"one"
    with pytest.raises(zipfile.BadZipFile, match="its list of members has"):
        open_zip(io.BytesIO(large), listed - 1)
    with pytest.raises(zipfile.BadZipFile, match="does not end as a zip file does"):
        open_zip(io.BytesIO(large.replace(b"PK\6\6", b"PK\6\5")), 1000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not end"),
        (GOOD[:-1], "does not end"),
        (GOOD + b"x", "does not end"),
        (_zip({"a": b"one"}, comment=b"a comment"), "does not end"),
        (b"x" * 10 + GOOD, "does not begin with its first member"),
        (_zip({"a": b"1", "A": b"2"}), "a name appears twice"),
    ],
    ids=["empty", "cut", "longer", "comment", "shifted", "twice"],
)
def test_zips_that_readers_take_differently_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(zipfile.BadZipFile, match=message):
        open_zip(io.BytesIO(data), 1000)


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(_zip({"a": b"one"}))
    data[data.index(b"PK\1\2") + 8] |= 1  # the flags in the list of members
    with pytest.raises(zipfile.BadZipFile, match="a member is encrypted"):
        open_zip(io.BytesIO(bytes(data)), 1000)


def test_stored_members() -> None:
    (stored,) = zipfile.ZipFile(io.BytesIO(_zip({"a": b"x" * 100}))).infolist()
    check_stored(stored, 100)
    with pytest.raises(zipfile.BadZipFile, match="a has 100 bytes; at most 99 are possible"):
        check_stored(stored, 99)
    (deflated,) = zipfile.ZipFile(io.BytesIO(_zip({"a": b"x" * 100}, zipfile.ZIP_DEFLATED))).infolist()
    with pytest.raises(zipfile.BadZipFile, match="a is compressed"):
        check_stored(deflated, 100)
