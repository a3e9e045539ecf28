"""Documents from files of verses: a reference and a text on every line.

    Genesis 1:1<TAB>In the beginning God created the heaven and the earth.

The reference is one field, ``Book C:V``, or three, ``Book``, ``C`` and ``V``. Fields are separated
by tabs, commas or ``|``. A field of a comma-separated file may be quoted, as spreadsheets do.
The first line may name the columns; the others are then found by name and unknown ones are
passed over, otherwise the first verse shows how all are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from hornbook.corpora.decoding import holds_surrogates
from hornbook.corpora.streams import Reading
from hornbook.corpora.tables import lines_of
from hornbook.errors import CorpusError

DELIMITERS = ("\t", "|", ",")
_COLUMNS = {
    "reference": ("reference", "ref"),
    "book": ("book_name", "book", "b"),
    "chapter": ("chapter", "c"),
    "verse": ("verse", "v", "verse_number"),
    "text": ("text", "t", "verse_text", "scripture"),
}
"""What is read, and the names a header may give to its column."""

_REFERENCE = re.compile(r"[\[(]?(?P<book>\S.*?)\s+(?P<chapter>\d+)[:.](?P<verse>\d+\w?)[\])]?")
_NUMBER = re.compile(r"\d+\w?")
_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?=,|\Z)')
_NOT_IN_A_LINE = re.compile("[\t\r\v\f\x85\u2028\u2029]+")
_LOOKED_AT = 10
"""Lines that decide whether a file holds verses."""


@dataclass(frozen=True, slots=True)
class Verse:
    """One verse.

    Attributes:
        book: the name of its book, such as ``1 Samuel``.
        chapter: the number of its chapter within the book.
        text: what it says, on one line.
    """

    book: str
    chapter: int
    text: str

    @property
    def sections(self) -> tuple[str, str]:
        """The book and the chapter that it belongs to, such as ``("Ruth", "Ruth 1")``."""
        return self.book, f"{self.book} {self.chapter}"

    def line(self, *, with_book: bool) -> str:
        """The text, with the name of the book before it if wanted.

        >>> Verse("Ruth", 1, "Now it came to pass").line(with_book=True)
        'Ruth Now it came to pass'
        """
        return f"{self.book} {self.text}" if with_book and self.text else self.text


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of one file are written.

    Attributes:
        delimiter: what stands between two fields.
        columns: the place of each field that is read, counted from 0.
        count: how many fields a line has; if the text is the last, it may hold delimiters.
    """

    delimiter: str
    columns: dict[str, int]
    count: int

    @property
    def example(self) -> str:
        """What a line looks like, for a message."""
        named = {place: name for name, place in self.columns.items()}
        shown = {"reference": "Book C:V", "chapter": "C", "verse": "V"}
        names = [named.get(place, "…") for place in range(self.count)]
        delimiter = "<TAB>" if self.delimiter == "\t" else self.delimiter
        return delimiter.join(shown.get(name, name.capitalize()) for name in names)

    def verse(self, line: str) -> Verse | None:
        """The verse on a line; ``None`` when the line is not written like this."""
        fields = split_fields(line, self.delimiter, self.count)
        if len(fields) != self.count:
            return None
        found = {name: fields[place].strip() for name, place in self.columns.items()}
        if "reference" in found:
            match = _REFERENCE.fullmatch(found["reference"])
            if match is None:
                return None
            found |= match.groupdict()
        if not (found["book"] and found["chapter"].isdecimal()):
            return None
        if not _NUMBER.fullmatch(found["verse"]):
            return None
        text = _NOT_IN_A_LINE.sub(" ", found["text"]).strip()
        return Verse(" ".join(found["book"].split()), int(found["chapter"]), text)


_WITHOUT_HEADER = tuple(
    Layout(delimiter, columns, len(columns))
    for delimiter in DELIMITERS
    for columns in (
        {"reference": 0, "text": 1},
        {"book": 0, "chapter": 1, "verse": 2, "text": 3},
    )
)


def read_verses(
    chunks: Iterable[str], name: str, reading: Reading, *, skip: bool = False
) -> Iterator[tuple[int, Verse]]:
    """Yield (line number from 1, verse) for each line of a text; blank lines are passed over.

    Args:
        chunks: the text, cut anywhere.
        name: what messages call the file.
        reading: told of the lines that are left out.
        skip: whether to leave out malformed lines instead of stopping at the first.

    Raises:
        CorpusError: for a malformed line, naming it, and for a file without any verse.

    >>> text = ["Book|Chapter|Verse|Text\\nRuth|1|1|Now it came\\nRuth|1|2|And the name\\n"]
    >>> [verse.text for _, verse in read_verses(text, "ruth.txt", Reading())]
    ['Now it came', 'And the name']
    """
    layout: Layout | None = None
    begun = found = False
    for number, line in enumerate(lines_of(chunks), start=1):
        if not line or line.isspace():
            continue
        if not begun:
            begun = True
            if is_header(line):
                layout = layout_of_header(line)
                continue
        layout = layout or layout_of_verse(line)
        verse = layout.verse(line) if layout is not None and not holds_surrogates(line) else None
        if verse is not None:
            found = True
            yield number, verse
        elif skip:
            reading.leave_out(f"{name}, line {number}")
        else:
            raise _malformed(f"{name}, line {number}", line, layout)
    if begun and not found:
        raise CorpusError(
            f"{name}: there is no verse in it. A line of verses is Book C:V, a tab, a comma or |, "
            "and the text. Read it another way with corpus.separate_by."
        )


def holds_verses(text: str) -> bool:
    """Say whether a text, or the beginning of one, is a file of verses.

    It is one when two or more of its first lines are verses, and most of them.

    >>> holds_verses("Ruth 1:1,Now it came\\nRuth 1:2,And the name\\n")
    True
    >>> holds_verses("Now it came to pass, in the days\\nwhen the judges ruled\\n")
    False
    """
    lines = list(islice((line for line in text.splitlines() if line.strip()), _LOOKED_AT))
    layout = None
    if lines and is_header(lines[0]):
        layout = layout_of_header(lines.pop(0))
    for line in lines:
        layout = layout or layout_of_verse(line)
    if layout is None:
        return False
    verses = sum(layout.verse(line) is not None for line in lines)
    return verses >= 2 and 2 * verses > len(lines)


def layout_of_verse(line: str) -> Layout | None:
    """How a line without a header before it is written; ``None`` if it is no verse.

    >>> layout_of_verse("Ruth|1|1|Now it came").example
    'Book|C|V|Text'
    """
    return next((layout for layout in _WITHOUT_HEADER if layout.verse(line) is not None), None)


def is_header(line: str) -> bool:
    """Say whether a line names columns: no number is in it, and a name that is known.

    >>> is_header("id,b,c,v,t"), is_header("Ruth 1:1,Now")
    (True, False)
    """
    names = {name for known in _COLUMNS.values() for name in known}
    plain = not any(character.isdecimal() for character in line)
    return plain and any(
        len(columns := _column_names(line, delimiter)) > 1 and not names.isdisjoint(columns)
        for delimiter in DELIMITERS
    )


def layout_of_header(line: str) -> Layout | None:
    """How lines are written under a header; ``None`` if it does not name all that is needed.

    >>> layout_of_header("id,b,c,v,t").columns
    {'book': 1, 'chapter': 2, 'verse': 3, 'text': 4}
    """
    for delimiter in DELIMITERS:
        names = _column_names(line, delimiter)
        columns = {
            meaning: names.index(next(name for name in known if name in names))
            for meaning, known in _COLUMNS.items()
            if not set(known).isdisjoint(names)
        }
        if "verse" in columns and not {"book", "chapter", "reference"} & set(columns):
            columns["reference"] = columns.pop("verse")
        three = {"book", "chapter", "verse"} <= set(columns)
        if "text" in columns and (three or "reference" in columns):
            if three:
                columns.pop("reference", None)
            return Layout(delimiter, columns, len(names))
    return None


def split_fields(line: str, delimiter: str, count: int) -> list[str]:
    """Cut a line into at most ``count`` fields; the last takes all that is left.

    >>> split_fields('Ruth 1:1,"Now, ""it"" came"', ",", 2)
    ['Ruth 1:1', 'Now, "it" came']
    >>> split_fields("Ruth 1:1,Now, it came", ",", 2)
    ['Ruth 1:1', 'Now, it came']
    """
    if delimiter != "," or '"' not in line:
        return line.split(delimiter, count - 1)
    fields: list[str] = []
    rest: str | None = line
    while rest is not None and len(fields) < count:
        quoted = _QUOTED.match(rest)
        if quoted is not None and (len(fields) < count - 1 or quoted.end() == len(rest)):
            fields.append(quoted[1].replace('""', '"'))
            rest = rest[quoted.end() + 1 :] if quoted.end() < len(rest) else None
        elif len(fields) == count - 1:
            fields.append(rest)
            rest = None
        else:
            field, comma, behind = rest.partition(",")
            fields.append(field)
            rest = behind if comma else None
    return fields


def _column_names(line: str, delimiter: str) -> list[str]:
    fields = line.split(delimiter)
    return ["_".join(field.strip(' "[]()\r').lower().split()) for field in fields]


def _malformed(where: str, line: str, layout: Layout | None) -> CorpusError:
    shown = line if len(line) <= 60 else line[:60] + "…"
    expected = "Book C:V<TAB>Text" if layout is None else layout.example
    return CorpusError(
        f"{where}: no verse, {shown!r}; a line such as {expected} was expected. Mend the line, "
        "leave out such lines with corpus.errors=skip, or read the file in another way with "
        "corpus.separate_by."
    )
