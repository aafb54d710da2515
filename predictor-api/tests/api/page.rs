//! The page: whole, from here alone.

use crate::tests::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_all_it_names_come_from_here() {
    let served = Served::usual().await;
    let page = served.get("/").await;
    assert_eq!((page.status, page.header("content-type").as_deref()), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    let mut texts = vec![("/".to_owned(), page.text())];
    let mut seen = vec!["/".to_owned()];
    while let Some((from, text)) = texts.pop() {
        let foreign: Vec<&str> =
            text.split("//").skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric())).collect();
        for rest in foreign {
            assert!(rest.starts_with("www.w3.org/2000/svg"), "{from} names another host: {}", &rest[..rest.len().min(60)]);
        }
        for path in text.split('"').filter(|word| word.starts_with("/page/")) {
            if !seen.contains(&path.to_owned()) {
                let asset = served.get(path).await;
                assert_eq!(asset.status, 200, "{from} names {path}");
                seen.push(path.to_owned());
                texts.push((path.to_owned(), asset.text()));
            }
        }
    }
    seen.sort();
    let scripts = ["chart", "formats", "map", "marks", "page", "scores"].map(|name| format!("/page/{name}.js"));
    let mut expected = vec!["/".to_owned(), "/page/page.css".to_owned()];
    expected.extend(scripts);
    expected.sort();
    assert_eq!(seen, expected);
    served.stop().await;
}
