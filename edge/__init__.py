"""The service's outer side: what HTTP is here, so that the leaves need not know it.

`problems` turns every error into one shape, `uploads` turns a bounded body into the bytes of a file,
`answers` are the bodies of good answers, `openapi` and `pages` tell people what there is.
"""
