"""The network side"""
