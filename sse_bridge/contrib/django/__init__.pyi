from bridge.contrib.django import *
