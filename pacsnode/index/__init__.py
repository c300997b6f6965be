"""The disposable index that answers queries"""
