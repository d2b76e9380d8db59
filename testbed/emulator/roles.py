"""Roles in MiniStack: in conditions, whoever has assumed a role is that role, and accounts belong to organizations.

`aws:PrincipalArn` is the ARN of the role in AWS, with its path, whatever the session. MiniStack has the session's ARN there.
`lambda:SourceFunctionArn` it does not know, nor `aws:PrincipalIsAWSService`, which no caller of its API is.

An account belongs to the organization that it was made in. MiniStack knows that of the account that made it alone, so
that `aws:PrincipalOrgID` is nobody else's. It has no `aws:ResourceOrgID`, and takes a variable in a condition, such as
`${aws:PrincipalOrgID}`, for text.
"""

import re

from ministack.core import iam_evaluator
from ministack.services import iam, organizations

from pinned import require
from senders import source_function_arn

require(iam_evaluator, "_account_from_arn", "_conditions_met", "_principal_org_id", "_resolve_condition_key")
require(iam, "_roles")
require(organizations, "_accounts")
require(type(organizations._accounts), "_data")

VARIABLE = re.compile(r"\$\{([^{}]+)\}")

organization_managed_by = iam_evaluator._principal_org_id
resolve_condition_key = iam_evaluator._resolve_condition_key
conditions_met = iam_evaluator._conditions_met


def organization_of(account: str) -> str | None:
    managers = (manager for manager, member in list(organizations._accounts._data) if member == account)
    return next(map(organization_managed_by, managers), None)


def resolve(key: str, context):
    name = key.lower()
    if name == "aws:resourceorgid":
        account = iam_evaluator._account_from_arn(context.resource_arn)
        return organization_of(account or context.principal_account)
    if name == "lambda:sourcefunctionarn":
        return source_function_arn(context.principal_arn)
    if name == "aws:principalisawsservice":
        return "false"
    value = resolve_condition_key(key, context)
    if name == "aws:principalarn" and ":assumed-role/" in value:
        return role_arn(value)
    return value


def role_arn(session_arn: str) -> str:
    account, role_name = session_arn.split(":")[4], session_arn.split("/")[1]
    role = iam._roles.get_scoped(account, None, role_name)
    return role["Arn"] if role else f"arn:aws:iam::{account}:role/{role_name}"


def filled_in(value, context):
    """What a policy has beside a key. A variable without a value stays as it is, and equals nothing."""
    if isinstance(value, dict):
        return {key: filled_in(one, context) for key, one in value.items()}
    if isinstance(value, list):
        return [filled_in(one, context) for one in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda variable: str(resolve(variable[1], context) or variable[0]), value)
    return value


def met(conditions: dict, context) -> bool:
    return conditions_met(filled_in(conditions, context), context)


iam_evaluator._principal_org_id = organization_of
iam_evaluator._resolve_condition_key = resolve
iam_evaluator._conditions_met = met
