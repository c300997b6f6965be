"""The programs that run"""
