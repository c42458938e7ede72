from bridge.rights import *
