"""Transforms template.yaml as CloudFormation does, and writes the result for cfn-lint.

Linting the untransformed template misses dangling references and misspelt properties inside SAM's resources.
"""

import json
import pathlib
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
    """Every function has its alarms: the loop that defines them lists the functions' names."""
    functions = {name for name, resource in resources.items() if resource["Type"] == "AWS::Serverless::Function"}
    for metric in ("Errors", "Throttles"):
        missing = {name for name in functions if f"{name.removesuffix('Function')}{metric}Alarm" not in resources}
        if missing:
            sys.exit(f"There is no alarm for {metric} of {', '.join(sorted(missing))}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
