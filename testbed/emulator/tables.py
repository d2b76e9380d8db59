"""Tables in MiniStack: what a template says of expiry and of recovery holds.

MiniStack's stacks leave both switched off, whatever the template says, though its DynamoDB knows them.
"""

from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

from pinned import require

require(provisioners, "_RESOURCE_HANDLERS", "_ddb_create", "_cfn_bool")
require(dynamodb, "_ttl_settings", "_pitr_settings")


def create(logical_id: str, properties: dict, stack_name: str):
    name, attributes = provisioners._ddb_create(logical_id, properties, stack_name)
    if expiry := properties.get("TimeToLiveSpecification"):
        status = "ENABLED" if provisioners._cfn_bool(expiry["Enabled"]) else "DISABLED"
        dynamodb._ttl_settings[name] = {"TimeToLiveStatus": status, "AttributeName": expiry["AttributeName"]}
    if recovery := properties.get("PointInTimeRecoverySpecification"):
        dynamodb._pitr_settings[name] = provisioners._cfn_bool(recovery["PointInTimeRecoveryEnabled"])
    return name, attributes


provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"].update(create=create)
