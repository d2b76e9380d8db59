"""Roles in MiniStack: in conditions, whoever has assumed a role is that role, and accounts belong to organizations.

`aws:PrincipalArn` is the ARN of the role in AWS, whatever the session. MiniStack has the session's ARN there.

An account belongs to the organization that it was made in. MiniStack knows that of the account that made it alone, so
that `aws:PrincipalOrgID` is nobody else's. It has no `aws:ResourceOrgID`, and takes a variable in a condition, such as
`${aws:PrincipalOrgID}`, for text.
"""

import re

from ministack.core import iam_evaluator
from ministack.services import organizations

from pinned import require

require(iam_evaluator, "_account_from_arn", "_conditions_met", "_principal_org_id", "_resolve_condition_key")
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
    value = resolve_condition_key(key, context)
    if name == "aws:principalarn" and ":assumed-role/" in value:
        session = value.replace(":sts::", ":iam::").replace(":assumed-role/", ":role/")
        return session.rpartition("/")[0]
    return value


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
