"""Transforms template.yaml as CloudFormation would, and writes the result for cfn-lint.

Linting the untransformed template misses dangling references and misspelt properties inside SAM's resources.
"""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The template names no managed policy, so the account's list is not needed."""

    def load(self):
        return {}


def main(template_path, output_path):
    with open(template_path) as file:
        template = yaml_parse(file)
    # `sam package` puts the place of each uploaded zip here.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    with open(output_path, "w") as file:
        json.dump(transform(template, {}, NoManagedPolicies()), file, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
