"""Stacks in MiniStack: a subscription is made where its topic is.

MiniStack looks for a subscription's topic in the stack's own region, overlooks the property `Region`, and makes a
subscription that is none if it finds no topic. Here it is made in the topic's region, and a topic that is not there
fails the stack, as it does in CloudFormation.
"""

from ministack.core.arn import parse_arn
from ministack.core.responses import request_scope
from ministack.services import sns
from ministack.services.cloudformation import provisioners

from pinned import require

require(provisioners, "_RESOURCE_HANDLERS", "_sns_sub_create", "_sns_sub_delete")
require(sns, "_topics")


def create(logical_id: str, properties: dict, stack_name: str):
    topic = parse_arn(properties["TopicArn"])
    with request_scope(topic.account_id, topic.region):
        if properties["TopicArn"] not in sns._topics:
            raise ValueError(f"there is no topic {properties['TopicArn']}")
        return provisioners._sns_sub_create(logical_id, properties, stack_name)


def delete(physical_id: str, properties: dict):
    topic = parse_arn(properties["TopicArn"])
    with request_scope(topic.account_id, topic.region):
        return provisioners._sns_sub_delete(physical_id, properties)


provisioners._RESOURCE_HANDLERS["AWS::SNS::Subscription"].update(create=create, delete=delete)
