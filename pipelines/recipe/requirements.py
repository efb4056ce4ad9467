"""Checks the packages that a recipe requires."""

from importlib.metadata import PackageNotFoundError, version


def check_requirement(line: str) -> None:
    """Raises ValueError unless the package of a requirement, such as `tamis-readability>=1.2`, is
    installed in such a version."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(f"should be a requirement of pip, such as tamis-readability>=1.2: {error}") from None
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        raise ValueError(f"the package {requirement.name} is not installed: pip install '{line}'") from None
    if not requirement.specifier.contains(installed, prereleases=True):
        raise ValueError(f"{requirement.name} {installed} is installed, not {requirement.specifier}: pip install '{line}'")
