"""Expands a SAM template, as CloudFormation's transform does, to one that moto's CloudFormation knows.

    expand.py <REQUEST >TEMPLATE

The request is JSON: `template`, as text in YAML, and `parameters`, by name. The template that is printed is JSON.
"""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class ManagedPolicies:
    """The template attaches none of AWS's."""

    def load(self) -> dict:
        return {}


request = json.load(sys.stdin)
json.dump(transform(yaml_parse(request["template"]), request["parameters"], ManagedPolicies()), sys.stdout)
