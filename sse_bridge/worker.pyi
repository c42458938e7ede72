from bridge.worker import *
