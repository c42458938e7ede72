from bridge.catalogs.finance.catalog import *
from bridge.catalogs.finance.events import *
