"""The lab: what tests the runtime and does not run with it.

Random histories with faults (`simulate`), clients that mean harm (`hostile`), the rules of
paying with the test of each (`rules`), and what the design notes ask for (`rows`). Nothing outside
of it imports it but the command.
"""
