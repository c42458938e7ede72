from bridge.testing import *
