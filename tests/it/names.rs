//! Usernames that differ in case, in their normal form, or only at a second look.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{PASSWORD, User, World, answer, unique};

async fn register(world: &World, username: &str) -> (StatusCode, Value) {
    let form = json!({"username": username, "password": PASSWORD});
    answer(world.request(Method::POST, "/auth/users/create/").json(&form)).await
}

/// A registered user with exactly this name.
async fn registered<'a>(world: &'a World, username: &str) -> User<'a> {
    let (status, body) = register(world, username).await;
    assert_eq!(status, 201, "{username}: {body}");
    let (id, username) = (body["id"].as_u64().unwrap(), body["username"].as_str().unwrap().to_owned());
    let token = world.log_in(&username).await;
    User { world, username, id, token }
}

/// The id of the user whom a name logs in.
async fn id_of(world: &World, name: &str) -> Value {
    let token = world.log_in(name).await;
    let me = world.request(Method::GET, "/auth/me/").header("authorization", format!("Token {token}"));
    answer(me).await.1["id"].clone()
}

/// A user with only the one item that earlier versions wrote for a name, next to the one that they have.
async fn rename_as_before(user: &mut User<'_>, name: &str) {
    let (dynamodb, table) = (user.world.dynamodb(), user.world.variable("TABLE_NAME"));
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = dynamodb.put_item().table_name(table).item("pk", text(&format!("USERNAME#{name}")));
    let put = put.item("sk", text("USERNAME")).item("user_id", AttributeValue::N(user.id.to_string()));
    put.send().await.unwrap();
    let update = dynamodb.update_item().table_name(table).key("pk", text(&format!("USER#{}", user.id)));
    let update = update.key("sk", text("PROFILE")).update_expression("SET username = :name");
    update.expression_attribute_values(":name", text(name)).send().await.unwrap();
    user.username = name.to_owned();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_anothers_is_taken() {
    let world = World::any().await;
    let name = unique("Alice.Mae");
    registered(&world, &name).await;
    for other in [
        name.clone(),
        name.to_lowercase(),
        name.to_uppercase(),
        name.replace('A', "\u{FF21}"),
        name.replace('l', "I"),
        name.replace('l', "1"),
        name.replace(['m', 'M'], "rn"),
    ] {
        let (status, body) = register(&world, &other).await;
        // As in the original, what was typed is looked up first.
        let is_normal = other.is_ascii();
        let problem = json!({"username": ["A user with that username already exists."]});
        let expected = if is_normal { problem } else { json!(["Unable to create account."]) };
        assert_eq!((status.as_u16(), body), (400, expected), "{other}");
    }
    // All letters Cyrillic: of one script, and yet not told apart.
    let number: String = unique("").bytes().map(|byte| char::from(b'2' + byte % 8)).collect();
    registered(&world, &format!("cape-{number}")).await;
    let cyrillic = format!("\u{441}\u{430}\u{440}\u{435}-{number}");
    assert_eq!(register(&world, &cyrillic).await.0, 400, "{cyrillic}");
    let mixed = format!("{}\u{430}", unique("anna"));
    let problem = json!({"username": ["This value may not mix letters of different scripts."]});
    assert_eq!(register(&world, &mixed).await, (StatusCode::BAD_REQUEST, problem));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_registrations_of_one_name_in_several_forms_create_one_user() {
    let world = World::any().await;
    let name = unique("anna");
    let forms = [name.clone(), name.to_uppercase(), name.replacen('a', "A", 1), name.replace('n', "N")];
    let answers = join_all(forms.iter().cycle().take(5).map(|form| register(&world, form))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|(status, _)| [201, 400].contains(&status.as_u16())), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_and_invitation_find_a_name_in_any_case_and_form() {
    let world = World::any().await;
    let name = unique("J\u{FC}rgen");
    let user = registered(&world, &name).await;
    let owner = world.user("owner").await;
    for form in
        [name.to_uppercase(), name.to_lowercase(), name.replace('\u{FC}', "u\u{308}"), name.replace('J', "\u{FF2A}")]
    {
        assert_eq!(id_of(&world, &form).await, user.id, "{form}");
        let uri = owner.start_chat().await;
        let (path, both) = (format!("/api/chats/{uri}/"), json!({"usernames": [form, name]}));
        let (status, body) = owner.call(Method::PATCH, &path, both).await;
        assert_eq!(status, 200, "{form}: {body}");
        assert_eq!(body["users"].as_array().unwrap().len(), 1, "both are the same user: {body}");
        assert_eq!(body["user"]["username"], name);
        let (status, body) = owner.call(Method::PATCH, &path, json!({"owner": form})).await;
        assert_eq!((status.as_u16(), &body["user"]["id"]), (200, &json!(user.id)), "{form}");
    }
    // What only looks like the name is another one, which nobody has.
    let form = json!({"username": name.replace('J', "\u{408}"), "password": PASSWORD});
    assert_eq!(answer(world.request(Method::POST, "/auth/token/login/").json(&form)).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_count_for_all_forms_of_a_name() {
    let world = World::any().await;
    let name = unique("Anna");
    registered(&world, &name).await;
    let forms =
        [name.clone(), name.to_lowercase(), name.to_uppercase(), name.replace("nn", "Nn"), name.replace("nn", "nN")];
    let guess = |form: &String| json!({"username": form, "password": "wrong"});
    let mut statuses = Vec::new();
    for form in forms.iter().chain(&forms) {
        let login = world.request(Method::POST, "/auth/token/login/").json(&guess(form));
        statuses.push(answer(login).await.0.as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

/// Users of earlier versions may have names that differ only in case.
#[tokio::test(flavor = "multi_thread")]
async fn an_exact_name_comes_first() {
    let world = World::any().await;
    let (mut anna, mut big) = (world.user("x").await, world.user("y").await);
    let name = unique("anna");
    rename_as_before(&mut anna, &name).await;
    rename_as_before(&mut big, &name.to_uppercase()).await;
    assert_eq!(id_of(&world, &name).await, anna.id);
    assert_eq!(id_of(&world, &name.to_uppercase()).await, big.id);
    assert_eq!(id_of(&world, &name.replacen('a', "A", 1)).await, anna.id);
    let mixed = name.replacen('a', "A", 1);
    assert_eq!(register(&world, &mixed).await.0, 400, "the name without regard to case is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_taken_as_their_digits() {
    let world = World::any().await;
    let seed = u64::from_str_radix(&unique("")[1..], 16).unwrap();
    for (n, number) in [format!("{seed}{seed:020}"), format!("{seed}.250"), format!("-{seed}0")].into_iter().enumerate()
    {
        let typed = |method, path: &str, body: String| {
            world.request(method, path).header("content-type", "application/json").body(body)
        };
        let password = format!("{}00000000000000000000{seed}.50", n + 1);
        let body = format!("{{\"username\": {number}, \"password\": {password}}}");
        let (status, user) = answer(typed(Method::POST, "/auth/users/create/", body.clone())).await;
        assert_eq!((status.as_u16(), &user["username"]), (201, &json!(number)), "{user}");
        assert_eq!(answer(typed(Method::POST, "/auth/token/create/", body)).await.0, 200);
        let text = json!({"username": number, "password": password}).to_string();
        assert_eq!(answer(typed(Method::POST, "/auth/token/create/", text)).await.0, 200);
        let owner = world.user("owner").await;
        let path = format!("/api/chats/{}/", owner.start_chat().await);
        let invite = owner.request(Method::PATCH, &path).header("content-type", "application/json");
        let (status, body) = answer(invite.body(format!("{{\"usernames\": [{number}]}}"))).await;
        assert_eq!((status.as_u16(), &body["user"]["username"]), (200, &json!(number)), "{body}");
    }
}
