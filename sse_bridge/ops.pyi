from bridge.ops import *
