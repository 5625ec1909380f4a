"""Applies CloudFormation's transforms to a template: expands loops and transforms SAM's resources."""

from ministack.services.cloudformation import language_extensions
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


def expanded(path):
    """The template with its loops (`Fn::ForEach`) expanded, and SAM's resources unchanged."""
    with open(path) as file:
        return language_extensions.apply(yaml_parse(file), {})


def transformed(template):
    """The expanded template with SAM's resources transformed."""
    return transform(template, {}, NoManagedPolicies())


class NoManagedPolicies:
    """The template uses no managed policy, so the account's list is not needed."""

    def load(self):
        return {}
