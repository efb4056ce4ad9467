"""Reads a file that is one JSON array, or JSON objects that are written over several lines."""

import codecs
import json
import re
from collections.abc import Iterator

import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import BatchBuilder, InvalidRecord
from tamis.transforms.read.decompress import ByteStream, streams
from tamis.transforms.read.input_options import Input, Loss, Split
from tamis.transforms.read.records.jsonl import add_value

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
_NEAR_END = 32  # characters: an error so near the end of what was read may be due to the end
_EXCERPT = 1024
_BLOCK = 1 << 16  # an error counts the lines before it in the block
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # finds the end of a value; orjson parses it


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
    """The documents of a file. After a broken value, reading continues with the next object."""
    builder = BatchBuilder(split.uri, options)
    with storage.open_binary(split.uri) as file:
        in_array = False
        for stream in streams(file, split.uri, split.start, split.stop, trust=trust):
            values = JsonValues(stream, options.max_record_bytes, in_array)
            for offset, data, error in values:
                try:
                    if error is not None:
                        raise InvalidRecord(error)
                    add_value(builder, data)
                except InvalidRecord as invalid:
                    builder.reject(offset, str(invalid), data, start=stream.start)
                if builder.full:
                    yield builder.take()
            in_array = values.in_array
            if stream.damage is not None:
                message = f"{stream.damage}; nothing from here on can be read, up to the next sound part of the file"
                lost = stream.lost_records(values.count)
                builder.reject(values.offset, message, start=stream.start, records=lost, estimated=True)
            elif in_array:
                message = "the array has no end: the file was cut"
                builder.reject(values.offset, message, start=stream.start, records=max(1, values.count), estimated=True)
    yield from builder.flush()


class JsonValues:
    """Iterates over (offset, bytes, error) of the values of a stream. `count`: how many there were;
    `offset`: the byte behind the last one."""

    def __init__(self, stream: ByteStream, longest: int, in_array: bool) -> None:
        self.in_array, self.offset, self.count = in_array, 0, 0
        self._stream, self._longest = stream, longest
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")  # bad bytes cost their value only
        self._text, self._place, self._ended = "", 0, False
        self._next: re.Pattern[str] | None = None  # what is before an object like the first one

    def __iter__(self) -> Iterator[tuple[int, bytes, str | None]]:
        if self._stream.after_damage:
            self._skip_to_object()
        while self._skip_separators():
            try:
                _, end = _DECODER.raw_decode(self._text, self._place)
                error = None
            except RecursionError:
                error = "broken JSON: it is nested too deeply"
            except json.JSONDecodeError as broken:
                error = f"broken JSON: {broken.msg.removesuffix(' starting at')} at character {broken.pos - self._place}"
                if broken.msg.startswith("Unterminated string") or broken.pos + _NEAR_END > len(self._text):
                    if len(self._text) - self._place > self._longest:
                        error = f"a record of more than {self._longest} bytes; that is max_record_bytes"
                    elif not self._ended:
                        self._fill(len(self._text) - self._place)  # twice as much, so that all attempts take linear time
                        continue
                    elif self._stream.damage is not None:
                        return
            if error is None and end == len(self._text) and self._text[end - 1] not in '}]"' and not self._ended:
                self._fill(_BLOCK)  # a number may go on
                continue
            self.count += 1
            if error is None:
                self._learn_start()
                data = self._text[self._place : end].encode("utf-8", "surrogateescape")
                yield self.offset, data, None
                self._place, self.offset = end, self.offset + len(data)
            else:
                yield self.offset, self._text[self._place : self._place + _EXCERPT].encode("utf-8", "surrogateescape"), error
                self._skip_to_object()

    def _fill(self, characters: int) -> None:
        data = self._stream.read(max(characters, _BLOCK))
        self._ended = not data
        self._text = self._text[self._place :] + self._decoder.decode(data, self._ended)
        self._place = 0

    def _advance(self, end: int) -> None:
        self.offset += len(self._text[self._place : end].encode("utf-8", "surrogateescape"))
        self._place = end

    def _skip_separators(self) -> bool:
        """Moves to the next value; false if there is none."""
        while True:
            space = _SPACE.match(self._text, self._place)
            assert space is not None
            self._advance(space.end())
            if self._place == len(self._text):
                if self._ended:
                    return False
                self._fill(_BLOCK)
                continue
            letter = self._text[self._place]
            if letter == "[" and not self.in_array:
                self.in_array = True
            elif letter == "]" and self.in_array:
                self.in_array = False
            elif letter != "," or not self.in_array:
                return True
            self._advance(self._place + 1)

    def _learn_start(self) -> None:
        """Objects inside others must not be taken for records, so a record is known by the first
        key of the first one, and by its indentation, if each begins a line."""
        key = _FIRST_KEY.match(self._text, self._place) if self._next is None else None
        if key is not None:
            line = self._text[self._text.rfind("\n", 0, self._place) + 1 : self._place]
            begins_line = not line.strip() and (line or self._place)
            before = rf"\n{line}" if begins_line else r"\}\s*,?\s*"
            self._next = re.compile(rf"{before}(?=\{{\s*{re.escape(key[1])}\s*:)")

    def _skip_to_object(self) -> None:
        """Moves behind a broken value."""
        while True:
            found = (self._next or re.compile(r"\}\s*,?\s*(?=\{)")).search(self._text, self._place)
            if found is not None:
                self._advance(found.end())
                return
            if self._ended:
                self.in_array = self.in_array and not self._text.rstrip().endswith("]")
                self._advance(len(self._text))
                return
            self._advance(max(self._place, len(self._text) - _EXCERPT))
            self._fill(_BLOCK)
