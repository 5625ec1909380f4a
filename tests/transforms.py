"""A template after the transforms that CloudFormation applies to it: loops written out, and SAM's resources transformed."""

from ministack.services.cloudformation import language_extensions
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


def expanded(path):
    """The template with its loops (`Fn::ForEach`) written out, and SAM's resources as they are."""
    with open(path) as file:
        return language_extensions.apply(yaml_parse(file), {})


def transformed(template):
    """The expanded template with SAM's resources transformed."""
    return transform(template, {}, NoManagedPolicies())


class NoManagedPolicies:
    """The template names no managed policy, so the account's list is not needed."""

    def load(self):
        return {}
