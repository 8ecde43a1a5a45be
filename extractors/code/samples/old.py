import os, string
from urllib2 import urlopen

def show(x):
    print x
