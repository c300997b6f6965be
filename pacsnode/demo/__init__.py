"""The demonstration: a node that stores, finds, gets and moves studies that no patient ever had."""
