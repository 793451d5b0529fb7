"""Own measurements: results of benchmark tools read, and endpoints measured.

`endpoint` and `power` talk to the network, the only modules of the library that do: no other room imports this
one but the command line. What comes out is a HardwareProfile, which planning and prediction read without a network.
"""
