"""`cengine datasource create TYPE`: one class a type, one line in the table."""

from cengine.sources.files import Csv, FileSource, Json, Parquet
from cengine.words import table_of

SOURCES = table_of(Csv, Parquet, Json)

__all__ = ["SOURCES", "Csv", "FileSource", "Json", "Parquet"]
