"""Where objects are kept"""
