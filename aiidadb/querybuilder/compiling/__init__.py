"""From a query to a statement: what is asked for, in SQL with parameters, without a database.

Read ``compiler`` first: it explains the words, and which module does what in which order.
"""
