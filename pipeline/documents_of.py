"""The documents of input paths, one after the other in this process: for single stages, training, and calibration."""

from collections.abc import Callable, Iterator

from pipeline.config import InputConfig
from pipeline.documents import Document, DocumentMaker, default_source
from pipeline.formats import BadRecord, Record, load
from pipeline.listing import Listed, list_inputs

MB = 1_000_000


def documents_of(
    config: InputConfig, bad: Callable[[BadRecord], object]
) -> Iterator[tuple[Document, dict[str, object]]]:
    """Every document of the inputs with all fields of its record, in order; `bad` gets what cannot be read.

    Raises ConfigError if nothing is configured or a suffix is unknown; InputError if a path matches nothing.
    """
    for listed in list_inputs(config):
        yield from _of_file(config, listed, bad)


def _of_file(
    config: InputConfig, listed: Listed, bad: Callable[[BadRecord], object]
) -> Iterator[tuple[Document, dict[str, object]]]:
    file, reader = listed.file, load(listed.file.format)
    make = DocumentMaker(config.names, default_source(file.url), int(config.max_document_mb * MB))
    for split in reader.splits(file, int(config.split_mb * MB)):
        for record in reader.records(split, config.names, int(2 * config.max_document_mb * MB)):
            document = make(record) if isinstance(record, Record) else record
            if isinstance(record, Record) and isinstance(document, Document):
                yield document, record.fields
            elif isinstance(document, BadRecord):
                bad(document)
