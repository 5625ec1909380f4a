//! Creates a template's tables, queues, topics and subscriptions.

use std::error::Error;

use aws_sdk_sqs::error::DisplayErrorContext;
use dynoxide::{Database, errors::DynoxideError};
use serde_json::json;

use super::client::client_config;
use crate::{
    access::Keys,
    description::{Addresses, Description, Table},
    error::StartError,
};

/// Creates all resources that the template describes. Tables may exist already.
pub(crate) async fn create(
    description: &Description,
    database: &Database,
    addresses: &Addresses,
    keys: &Keys,
) -> Result<(), StartError> {
    for table in &description.tables {
        create_table(database, table).map_err(|problem| StartError::Resource(table.name.clone(), problem))?;
    }
    create_queues(description, &aws_sdk_sqs::Client::new(&client_config(&addresses.sqs, keys))).await?;
    create_topics(description, &aws_sdk_sns::Client::new(&client_config(&addresses.sns, keys))).await
}

async fn create_queues(description: &Description, sqs: &aws_sdk_sqs::Client) -> Result<(), StartError> {
    // A queue's dead-letter queue must exist before it.
    let mut queues: Vec<_> = description.queues.iter().collect();
    queues.sort_by_key(|queue| queue.attributes.contains_key("RedrivePolicy"));
    for queue in queues {
        let mut request = sqs.create_queue().queue_name(&queue.name);
        for (name, value) in &queue.attributes {
            request = request.attributes(name.as_str().into(), value);
        }
        request.send().await.map_err(|error| not_created(&queue.name, &error))?;
    }
    Ok(())
}

async fn create_topics(description: &Description, sns: &aws_sdk_sns::Client) -> Result<(), StartError> {
    for topic in &description.topics {
        let mut request = sns.create_topic().name(&topic.name);
        for (name, value) in &topic.attributes {
            request = request.attributes(name, value);
        }
        request.send().await.map_err(|error| not_created(&topic.name, &error))?;
    }
    for subscription in &description.subscriptions {
        let mut request =
            sns.subscribe().topic_arn(&subscription.topic_arn).protocol("sqs").endpoint(&subscription.queue_arn);
        for (name, value) in &subscription.attributes {
            request = request.attributes(name, value);
        }
        request.send().await.map_err(|error| not_created(&subscription.queue_arn, &error))?;
    }
    Ok(())
}

fn not_created(name: &str, error: &dyn Error) -> StartError {
    StartError::Resource(name.to_owned(), DisplayErrorContext(error).to_string())
}

fn create_table(database: &Database, table: &Table) -> Result<(), String> {
    let request = serde_json::from_value(table.creation.clone()).map_err(|error| error.to_string())?;
    match database.create_table(request) {
        // A table in a data file exists from the previous run.
        Ok(_) | Err(DynoxideError::ResourceInUseException(_)) => {}
        Err(error) => return Err(error.to_string()),
    }
    if let Some(attribute) = &table.expires_by {
        let specification = json!({ "AttributeName": attribute, "Enabled": true });
        let request = json!({ "TableName": table.name, "TimeToLiveSpecification": specification });
        let request = serde_json::from_value(request).map_err(|error| error.to_string())?;
        match database.update_time_to_live(request) {
            // Time to live is on already.
            Ok(_) | Err(DynoxideError::ValidationException(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
