"""Transforms template.yaml as CloudFormation does, and writes the result for cfn-lint.

Linting the untransformed template misses dangling references and misspelt properties inside SAM's resources.
"""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from transforms import expanded, transformed


def main(template_path, output_path):
    template = expanded(template_path)
    check_alarms(template["Resources"])
    # `sam package` sets the address of each uploaded zip here.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    with open(output_path, "w") as file:
        json.dump(transformed(template), file, indent=1)


def check_alarms(resources):
    """The runbook has a section for each alarm, and no others."""
    alarms = {name for name, resource in resources.items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    runbook = (pathlib.Path(__file__).resolve().parent.parent / "docs/runbook.md").read_text()
    described = set(re.findall(r"^## (\w+Alarm)$", runbook, re.MULTILINE))
    if alarms != described:
        sys.exit(f"The template's alarms and the runbook's sections differ: {', '.join(sorted(alarms ^ described))}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
