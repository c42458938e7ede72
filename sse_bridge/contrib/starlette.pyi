from bridge.contrib.starlette import *
