from bridge.contrib.fastapi import *
