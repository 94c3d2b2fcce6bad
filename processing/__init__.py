"""From a CSV to a model's input and from a model's output to kW: pure functions, no TensorFlow, no HTTP.

The way is one direction: `reading` (bytes to a load profile), `features` (its eleven columns), `scaling`
(normalised), `windowing` (the columns and rows that a model consumes); `pipeline` walks it for one request.
"""
