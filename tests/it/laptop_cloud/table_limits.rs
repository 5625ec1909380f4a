//! `--like-aws`: DynamoDB's conflicts and the throughput of partition keys.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, Delete, Get, KeysAndAttributes, Put, PutRequest, TransactGetItem, TransactWriteItem,
        WriteRequest,
    },
};
use confab_cloud::LikeAws;
use futures_util::future::join_all;

use super::small_cloud::{dynamodb, idle, output, start};
use crate::world::{World, eventually};

const TEMPLATE: &str = "
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: shelf, AttributeType: S }, { AttributeName: place, AttributeType: N }]
      KeySchema: [{ AttributeName: shelf, KeyType: HASH }, { AttributeName: place, KeyType: RANGE }]
Outputs:
  Things: { Value: !Ref Things }
";

struct Table {
    world: World,
    client: Client,
}

impl Table {
    async fn new(like_aws: LikeAws) -> Self {
        let world = start(TEMPLATE, like_aws, idle()).await;
        Self { client: dynamodb(&world), world }
    }

    fn name(&self) -> &str {
        output(&self.world, "Things")
    }

    fn put(&self, shelf: &str, place: &str) -> TransactWriteItem {
        self.put_of(shelf, place, 0)
    }

    fn put_of(&self, shelf: &str, place: &str, bytes: usize) -> TransactWriteItem {
        let put =
            Put::builder().table_name(self.name()).set_item(Some(thing(shelf, place, bytes).into_iter().collect()));
        TransactWriteItem::builder().put(put.build().unwrap()).build()
    }

    fn delete(&self, shelf: &str, place: &str) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(self.name())
            .set_key(Some(thing(shelf, place, 0).into_iter().take(2).collect()));
        TransactWriteItem::builder().delete(delete.build().unwrap()).build()
    }

    /// The codes of a cancelled transaction's reasons; empty if it was not cancelled.
    async fn transact(&self, items: impl IntoIterator<Item = TransactWriteItem>) -> Vec<String> {
        let items = items.into_iter().collect();
        match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => Vec::new(),
            Err(error) => {
                let TransactWriteItemsError::TransactionCanceledException(cancelled) = error.into_service_error()
                else {
                    panic!("another error")
                };
                let reasons = cancelled.cancellation_reasons.unwrap();
                assert!(reasons.iter().all(|reason| reason.item.is_none()), "{reasons:?}");
                reasons.into_iter().map(|reason| reason.code.unwrap()).collect()
            }
        }
    }

    /// The code of the error of a put, if it fails.
    async fn try_put(&self, shelf: &str, place: &str, bytes: usize) -> Option<String> {
        let put = self.client.put_item().table_name(self.name());
        let put = put.set_item(Some(thing(shelf, place, bytes).into_iter().collect())).send().await;
        put.err().map(|error| error.code().unwrap().to_owned())
    }
}

fn thing(shelf: &str, place: &str, bytes: usize) -> [(String, AttributeValue); 3] {
    [
        ("shelf".to_owned(), AttributeValue::S(shelf.to_owned())),
        ("place".to_owned(), AttributeValue::N(place.to_owned())),
        ("content".to_owned(), AttributeValue::S("x".repeat(bytes))),
    ]
}

fn slow_transactions() -> LikeAws {
    LikeAws { dynamodb_conflicts: true, dynamodb_transaction_ms: 1000, ..LikeAws::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_overlapping_transactions_one_is_cancelled_without_an_item() {
    let table = Table::new(slow_transactions()).await;
    let first = table.transact([table.put("a", "1"), table.put("b", "2")]);
    // A number has several forms.
    let second = table.transact([table.put("a", "7"), table.delete("a", "1.0"), table.put("c", "2")]);
    match tokio::join!(first, second) {
        (won, lost) if won.is_empty() => assert_eq!(lost, ["None", "TransactionConflict", "None"]),
        (lost, won) => {
            assert_eq!((lost.as_slice(), won.len()), (["TransactionConflict", "None"].map(str::to_owned).as_slice(), 0))
        }
    }
    // It has ended, and those on other items do not conflict.
    let again = tokio::join!(table.transact([table.put("a", "1")]), table.transact([table.put("a", "2")]));
    assert_eq!(again, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_conflicts_with_a_transaction_and_a_read_does_not() {
    let table = Table::new(slow_transactions()).await;
    // A write in progress cancels it, too.
    let transaction = async { while !table.transact([table.put("a", "1")]).await.is_empty() {} };
    let key: HashMap<_, _> = thing("a", "1", 0).into_iter().take(2).collect();
    let key = Some(key);
    let writes = async {
        while table.try_put("a", "1", 0).await.is_none() {}
        assert_eq!(table.try_put("a", "1", 0).await.as_deref(), Some("TransactionConflictException"));
        assert_eq!(table.try_put("a", "2", 0).await, None);
        table.client.get_item().table_name(table.name()).set_key(key.clone()).send().await.unwrap();
        // A batch is done without the item.
        let request = |place| {
            let put = PutRequest::builder().set_item(Some(thing("a", place, 0).into_iter().collect())).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        };
        let batch = table.client.batch_write_item().request_items(table.name(), vec![request("1"), request("3")]);
        batch.send().await.unwrap().unprocessed_items.unwrap()
    };
    tokio::pin!(transaction);
    let unprocessed = tokio::select! {
        biased;
        unprocessed = writes => unprocessed,
        _ = &mut transaction => panic!("the transaction was not in the way"),
    };
    let get = TransactGetItem::builder().get(Get::builder().table_name(table.name()).set_key(key).build().unwrap());
    let get = table.client.transact_get_items().transact_items(get.build()).send();
    assert_eq!(tokio::join!(get, transaction).0.unwrap_err().code(), Some("TransactionCanceledException"));
    let left: Vec<_> =
        unprocessed[table.name()].iter().map(|left| &left.put_request.as_ref().unwrap().item["place"]).collect();
    assert_eq!(left, [&AttributeValue::N("1".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_conflicts() {
    let table = Table::new(LikeAws { dynamodb_conflicts: false, ..slow_transactions() }).await;
    let all = join_all((0..5).map(|_| table.transact([table.put("a", "1")]))).await;
    assert!(all.iter().all(Vec::is_empty), "{all:?}");
}

const KB: usize = 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_partition_key_is_throttled() {
    let limits =
        LikeAws { dynamodb_partition_writes: Some(200), dynamodb_partition_reads: Some(25), ..LikeAws::default() };
    let table = Table::new(limits).await;
    let puts = join_all((0..6).map(|_| table.try_put("hot", "1", 190 * KB))).await;
    let errors: Vec<String> = puts.into_iter().flatten().collect();
    assert!(!errors.is_empty() && errors.iter().all(|code| code == "ThrottlingException"), "{errors:?}");
    assert_eq!(table.try_put("cold", "1", 90 * KB).await, None);
    // A bucket is full again after a second, so what follows may succeed once.
    eventually("a transaction is throttled", async || {
        let codes = table.transact([table.put_of("hot", "9", 190 * KB), table.put("lukewarm", "9")]).await;
        codes == ["ThrottlingError", "None"]
    })
    .await;

    // 90 KB are 23 units.
    let key: HashMap<_, _> = thing("cold", "1", 0).into_iter().take(2).collect();
    let code = |code: Option<&str>| code.is_some_and(|code| code == "ThrottlingException");
    eventually("a read is throttled", async || {
        let get = table.client.get_item().table_name(table.name()).set_key(Some(key.clone())).consistent_read(true);
        get.send().await.is_err_and(|error| code(error.code()))
    })
    .await;
    eventually("a query is throttled", async || {
        let query = table.client.query().table_name(table.name()).key_condition_expression("shelf = :shelf");
        let query = query.expression_attribute_values(":shelf", AttributeValue::S("cold".to_owned()));
        query.consistent_read(true).send().await.is_err_and(|error| code(error.code()))
    })
    .await;
    // A batch is done as far as its partition keys are not throttled.
    eventually("a key of a batch is throttled", async || {
        let keys = [key.clone(), thing("lukewarm", "9", 0).into_iter().take(2).collect()];
        let keys = KeysAndAttributes::builder().set_keys(Some(keys.into())).consistent_read(true).build().unwrap();
        let answer = table.client.batch_get_item().request_items(table.name(), keys).send().await.unwrap();
        let unprocessed = answer.unprocessed_keys.unwrap();
        unprocessed.get(table.name()).is_some_and(|left| (left.keys.len(), left.consistent_read) == (1, Some(true)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_no_partition_key_is_throttled() {
    let table = Table::new(LikeAws::default()).await;
    let puts = join_all((0..6).map(|_| table.try_put("hot", "1", 390 * KB))).await;
    assert_eq!(puts.into_iter().flatten().count(), 0);
}
