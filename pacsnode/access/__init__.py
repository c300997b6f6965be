"""Who may do what"""
