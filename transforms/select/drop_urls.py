"""The step that drops documents whose address is in a list, exactly as written."""

import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.step import Documents, Step


class DropUrls(Step):
    """Drops the documents with these addresses."""

    name = "drop_urls"
    signals = ("url",)

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        url = documents.columns["url"]
        listed = pc.is_in(url, value_set=pa.array(self.urls, pa.string())).to_numpy(zero_copy_only=False)
        documents.end(listed, "drop", "drop_urls", url.take)
