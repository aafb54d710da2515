//! The settings of topics, as they are asked for.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::text;
use crate::node::Node;
use crate::storage::topic::{SETTINGS, SettingKind};

// Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;
const TYPE_STRING: i8 = 2;
const TYPE_LONG: i8 = 5;

pub(super) fn describe(node: &Node, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let (configs, error) = match settings_of(node, resource) {
            Ok(configs) => (configs, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        DescribeConfigsResult::default()
            .with_error_code(error.map_or(0, |error| error.code()))
            .with_error_message(error.map(|error| text(error.to_string())))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_configs(configs)
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn settings_of(node: &Node, resource: &DescribeConfigsResource) -> Result<Vec<DescribeConfigsResourceResult>, ResponseError> {
    match resource.resource_type {
        TOPIC => {}
        // The node's own settings are the program's, not the protocol's.
        BROKER => return Ok(Vec::new()),
        _ => return Err(ResponseError::InvalidRequest),
    }
    let topic = node.store.topic(&resource.resource_name).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let is_asked =
        |name: &str| resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.as_str() == name));
    let asked = SETTINGS.iter().filter(|setting| is_asked(setting.name)).map(|setting| {
        let set = topic.settings.get(setting.name);
        DescribeConfigsResourceResult::default()
            .with_name(text(setting.name))
            .with_value(Some(text(set.map_or(setting.default, String::as_str))))
            .with_config_source(if set.is_some() { SOURCE_TOPIC } else { SOURCE_DEFAULT })
            .with_config_type(if setting.kind == SettingKind::Fixed { TYPE_STRING } else { TYPE_LONG })
            .with_documentation(Some(text(setting.documentation)))
    });
    Ok(asked.collect())
}
