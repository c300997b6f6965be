"""The parts of a node, each made from a configuration: what one process composes, and what several share"""
