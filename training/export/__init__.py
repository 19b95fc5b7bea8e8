"""Adapters and models in the forms that other programs read.

source.py     what is exported: an adapter's folder and the base it sits on
merged.py     base and adapter → an ordinary Hugging Face folder
gguf_file.py  such a folder → one GGUF file
hub.py        folders to and from a model hub
run.py        one export from beginning to end
"""
