from bridge.gateway import *
