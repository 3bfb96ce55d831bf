"""Tables: their delimiters and comments, columns that only number the rows, and what is left."""

from striate.data.readers.tables.table import ANSWERS as ANSWERS
from striate.data.readers.tables.table import LABELS as LABELS
from striate.data.readers.tables.table import SEPARATOR as SEPARATOR
from striate.data.readers.tables.table import Table as Table
from striate.data.readers.tables.table import header_of as header_of
from striate.data.readers.tables.table import read_table as read_table
