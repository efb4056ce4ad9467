"""What a pipeline is made of. Nothing here knows a recipe file, a command or a runner."""

if __name__ != "tamis.transforms":  # a second copy of every module, with its own classes and caches
    raise ImportError("this folder is tamis.transforms: import it by that name")
