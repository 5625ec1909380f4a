"""Deploys template.yaml to an AWS emulator and runs the end-to-end suite against it, without AWS and without Docker.

The emulator is `ministack`, a third-party project: it runs CloudFormation stacks, unmodified functions of runtime
provided.al2023, and WebSocket APIs. Needs the packages in tests/requirements.txt, and cargo-lambda without --debug.

    tests/deployment.py              a release build by cargo-lambda
    tests/deployment.py --debug      a debug build by cargo, which is faster
    tests/deployment.py --website    also the browser client, deployed as docs/deploying.md describes and tested in Chromium
"""

import argparse
import io
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile

import boto3

from transforms import expanded, transformed

ROOT = pathlib.Path(__file__).resolve().parent.parent
STACK = "confab"
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--debug", action="store_true", help="deploy a debug build")
    arguments.add_argument("--website", action="store_true", help="deploy the browser client too, and run its tests")
    arguments.add_argument("--keep", action="store_true", help="leave the deployment running until ctrl-c")
    arguments = arguments.parse_args()

    artifact = zipped(build(arguments.debug))
    print(f"The artifact has {len(artifact):,} bytes.")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        environment = emulator_environment(port)
        os.environ.update(environment)
        with open(pathlib.Path(folder) / "emulator.log", "w+") as log:
            emulator = subprocess.Popen(["ministack"], env=os.environ, cwd=folder, stdout=log, stderr=log)
            try:
                wait_until_healthy(port)
                outputs = deploy(artifact, port)
                status = run_suite(environment, outputs)
                if arguments.website:
                    status = status or run_website(outputs, port)
                if arguments.keep:
                    print(json.dumps(outputs, indent=2))
                    emulator.wait()
            except Exception:
                log.seek(0)
                print(log.read()[-5000:], file=sys.stderr)
                raise
            finally:
                emulator.terminate()
                emulator.wait()
            if status != 0:
                log.seek(0)
                print("The emulator's log ends with:", log.read()[-5000:], sep="\n", file=sys.stderr)
    sys.exit(status)


def build(debug):
    """Builds the program of all functions, and returns its path."""
    if debug:
        # As tests/lambda_watch.sh builds, so that nothing is built twice.
        subprocess.run(["cargo", "build", "--locked", "--bins", "--tests"], cwd=ROOT, check=True)
        return ROOT / "target/debug/bootstrap"
    flag = {"x86_64": "--x86-64", "arm64": "--arm64"}[ARCHITECTURE]
    subprocess.run(["cargo", "lambda", "build", "--release", "--locked", flag, "--bin", "bootstrap"], cwd=ROOT / "functions", check=True)
    return ROOT / "target/lambda/bootstrap/bootstrap"


def zipped(program):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, program.read_bytes())
    return buffer.getvalue()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def emulator_environment(port):
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        # The functions inherit this variable; without it they would call AWS.
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def wait_until_healthy(port):
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=2)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


# All users of the suite have one address, and do more than people do.
UNLIMITED = ["PostsPerMinute", "MarkersPerMinute", "LookupsPerHour", "SocketsPerUser", "AttemptsPerAddress"]


def deploy(artifact, port):
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="artifacts")
    s3.put_object(Bucket="artifacts", Key="bootstrap.zip", Body=artifact)
    # The template exceeds the 51,200 bytes that fit into the call; `sam deploy` uploads it, too.
    s3.put_object(Bucket="artifacts", Key="template.json", Body=json.dumps(adapted(port)))
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"http://127.0.0.1:{port}/artifacts/template.json",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in (dict.fromkeys(UNLIMITED, "0") | {"Website": "yes", "MailSender": "no-reply@chat.example"}).items()
        ],
    )
    try:
        cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    except Exception:
        for event in cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]:
            if "FAILED" in event["ResourceStatus"]:
                print(event["LogicalResourceId"], event.get("ResourceStatusReason"), file=sys.stderr)
        raise
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def adapted(port):
    """template.yaml after CloudFormation's transforms, adapted to this emulator."""
    template = expanded(ROOT / "template.yaml")
    template["Globals"]["Function"]["CodeUri"] = "s3://artifacts/bootstrap.zip"
    # The emulator runs the program on this machine.
    template["Globals"]["Function"]["Architectures"] = [ARCHITECTURE]
    template = transformed(template)
    resources = template["Resources"]
    for logical_id, resource in list(resources.items()):
        if resource["Type"] == "AWS::ApiGatewayV2::RouteResponse":
            # The emulator does not support the type, and sends responses over the socket without it.
            del resources[logical_id]
        if resource["Type"] == "AWS::CloudFront::Distribution":
            # The emulator does not support TLS.
            resource["Properties"]["DistributionConfig"]["DefaultCacheBehavior"]["ViewerProtocolPolicy"] = "allow-all"
        if resource["Type"] == "AWS::ApiGatewayV2::Api" and "Body" in resource["Properties"]:
            expand_routes(resources, logical_id)
    # A content security policy has hosts without paths, and browsers resolve every name that ends with "localhost".
    for place, name in ((resources, "WebsiteHeaders"), (template["Outputs"], "WebsiteConfig")):
        place[name] = here(place[name], f"{{api}}.execute-api.localhost:{port}", "")
    return here(template, f"127.0.0.1:{port}/_aws/execute-api/{{api}}", "/$default")


def expand_routes(resources, api):
    """Turns the routes in an API's OpenAPI body, which the emulator ignores, into resources, and sets its CORS."""
    body = resources[api]["Properties"].pop("Body")
    # CloudFormation's names begin with capitals; the emulator expects those of the API.
    cors = body["x-amazon-apigateway-cors"]
    resources[api]["Properties"].update({"Name": api, "ProtocolType": "HTTP", "CorsConfiguration": cors})
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            key = "$default" if path.lstrip("/") == "$default" else f"{method.upper()} {path}"
            name = "".join(filter(str.isalnum, key)).title()
            resources[f"{api}{name}Integration"] = {
                "Type": "AWS::ApiGatewayV2::Integration",
                "Properties": {
                    "ApiId": {"Ref": api},
                    "IntegrationType": "AWS_PROXY",
                    "IntegrationUri": integration["uri"],
                    "PayloadFormatVersion": integration["payloadFormatVersion"],
                },
            }
            resources[f"{api}{name}Route"] = {
                "Type": "AWS::ApiGatewayV2::Route",
                "Properties": {
                    "ApiId": {"Ref": api},
                    "RouteKey": key,
                    "Target": {"Fn::Join": ["/", ["integrations", {"Ref": f"{api}{name}Integration"}]]},
                },
            }


def here(value, place, root):
    """Replaces the addresses of APIs on AWS by those in the emulator: `place`, followed by `root` for HTTP."""
    if isinstance(value, dict):
        return {name: here(member, place, root) for name, member in value.items()}
    if isinstance(value, list):
        return [here(element, place, root) for element in value]
    if isinstance(value, str):
        for scheme, plain in (("https", "http"), ("wss", "ws")):
            for api, path in (("WebSocketApi", ""), ("HttpApi", root)):
                address = f"{scheme}://${{{api}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}"
                value = value.replace(address, f"{plain}://{place.format(api=f'${{{api}}}')}{path}")
    return value


def run_suite(environment, outputs):
    variables = {
        "CONFAB_URL": outputs["HttpUrl"],
        "CONFAB_WEBSOCKET_URL": outputs["WebSocketUrl"],
        "TABLE_NAME": outputs["TableName"],
        "TOPIC_ARN": outputs["TopicArn"],
        "FANOUT_QUEUE_URL": outputs["FanoutQueueUrl"],
        "DEAD_LETTER_QUEUE_URL": outputs["DeadLettersUrl"],
        "CONFAB_EMULATOR": "ministack",
    }
    print(json.dumps(variables, indent=2), flush=True)
    command = ["cargo", "test", "--locked", "--test", "it", "--"]
    # These are about the sources or the laptop cloud alone.
    for module in ("cost::", "layers::", "laptop_cloud::", "permissions::each"):
        command += ["--skip", module]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment, **variables}).returncode


# The browser client's tests that need no socket: the emulator omits the subprotocol from its response, which AWS takes from
# $connect's response, so a browser closes the socket at once.
WITHOUT_SOCKETS = "policy allows nothing|requested page is shown|a wrong password|a taken username"


def run_website(outputs, port):
    """Deploys the browser client with the commands from docs/deploying.md, and tests it in Chromium, through CloudFront."""
    blocks = (ROOT / "docs/deploying.md").read_text().split("```sh\n")
    commands = next(block for block in blocks if "aws s3 sync" in block).split("```")[0]
    commands = "\n".join(line for line in commands.splitlines() if not line.startswith("sam deploy"))
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=ROOT, check=True)
    website = outputs["WebsiteUrl"].replace("https://", "http://").replace(".cloudfront.net", f".cloudfront.localhost:{port}")
    variables = {"CONFAB_URL": outputs["HttpUrl"], "CONFAB_WEBSITE": website}
    tests = f"npx tsc -p test && node --test --test-name-pattern='{WITHOUT_SOCKETS}' test/build/accounts.test.js test/build/safety.test.js"
    return subprocess.run(tests, shell=True, cwd=ROOT / "web", env={**os.environ, **variables}).returncode


if __name__ == "__main__":
    main()
