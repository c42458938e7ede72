from bridge.contrib.sqlalchemy import *
