use proptest::prelude::*;

use super::*;

fn put(table: &mut PathTable, path: &str) -> Id {
    let known = table.known(path.split('/'));
    let rest = path.split('/').skip(known.names);
    rest.fold(known.id, |at, name| table.add(at, name).unwrap())
}

#[test]
fn a_name_is_kept_once_and_each_path_is_found() {
    let mut table = PathTable::new(false);
    let first = put(&mut table, "app/bin/a.dll");
    let second = put(&mut table, "app/bin/b.dll");
    assert_eq!(table.text_bytes(), "appbina.dllb.dll".len());
    assert_eq!(table.parent(first), table.parent(second));
    assert_eq!(table.path(second), "app/bin/b.dll");
    let known = table.known("app/bin/c.dll/x".split('/'));
    assert_eq!((known.names, table.path(known.id).as_str()), (2, "app/bin"));
    assert_eq!(table.known("App".split('/')).names, 0);
}

#[test]
fn where_case_means_nothing_a_path_is_found_by_any() {
    let mut table = PathTable::new(true);
    let id = put(&mut table, "Straße/ÄPP");
    let known = table.known("straße/äpp".split('/'));
    assert_eq!((known.id, known.is_exact), (id, false));
    assert!(table.known("Straße/ÄPP".split('/')).is_exact);
    table.spell(id, "äpp");
    assert_eq!(table.path(id), "Straße/äpp");
}

#[test]
fn a_name_has_room_or_is_not_taken() {
    let mut table = PathTable::new(false);
    assert_eq!(table.add(Id::ROOT, &"x".repeat(65_536)), None);
    assert_eq!((table.len(), table.text_bytes()), (0, 0));
    assert!(table.add(Id::ROOT, &"x".repeat(65_535)).is_some());
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_bytes_of_whole_paths(
        paths in proptest::collection::vec("[a-b!/0.-]{1,12}", 1..60)
    ) {
        let mut table = PathTable::new(false);
        for path in &paths {
            let names: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
            if !names.is_empty() {
                put(&mut table, &names.join("/"));
            }
        }
        let order: Vec<String> = table.in_order().into_iter().map(|it| table.path(it)).collect();
        let mut sorted = order.clone();
        sorted.sort();
        sorted.dedup();
        prop_assert_eq!(order.len(), table.len());
        prop_assert_eq!(order, sorted);
    }
}
