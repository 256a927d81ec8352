//! What rights directories have that several layers have, or the base.

use std::collections::BTreeMap;

use serde_json::json;

use super::{FROM, OLD, image, one, stage::Stage};
use crate::{
    BuiltPart, LayerSource, Owner,
    base::tests::stand_in::{StandIn, StandIns},
};

/// The entries of each layer that was made, and what Windows is told of their rights.
fn layers(part: &BuiltPart) -> Vec<BTreeMap<String, String>> {
    let of = |path: &std::path::Path| {
        let bytes = std::fs::read(path).unwrap();
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(&bytes[..]));
        let mut rights = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut said = String::new();
            for record in entry.pax_extensions().unwrap().into_iter().flatten() {
                let record = record.unwrap();
                if record.key() == Ok("MSWINDOWS.rawsd") {
                    record.value().unwrap().clone_into(&mut said);
                }
            }
            rights.insert(path.trim_end_matches('/').to_owned(), said);
        }
        rights
    };
    let made = part.image().layers().iter();
    made.filter_map(|it| match &it.source {
        LayerSource::File(path) => Some(of(path)),
        _ => None,
    })
    .collect()
}

#[tokio::test]
async fn a_later_layer_leaves_a_directory_the_rights_that_an_earlier_one_gave_it() {
    for owner in [Owner::Default, Owner::ContainerUser] {
        let mut stage = one(StandIn::nanoserver(OLD));
        stage.options.owner = owner;
        let text = format!(
            "# escape=`\n{FROM}WORKDIR C:\\app\nCOPY b.txt C:\\app\\sub\\\nWORKDIR C:\\APP\\other\n"
        );
        let part = image(&stage, &text).await;
        let [first, copied, other] = &layers(&part)[..] else {
            panic!("{part:?}");
        };
        let app = &first["Files/app"];
        assert_eq!(copied["Files/app"], *app, "{owner:?}");
        // Nobody asked for this one.
        assert_ne!(copied["Files/app/sub"], *app);
        let again = other
            .iter()
            .find(|it| it.0.eq_ignore_ascii_case("Files/app"));
        assert_eq!(again.unwrap().1, app);
    }
}

#[tokio::test]
async fn a_working_directory_that_every_base_has_is_no_layer() {
    let stage = one(StandIn::nanoserver(OLD));
    let text = format!("# escape=`\n{FROM}WORKDIR C:\\windows\\System32\nWORKDIR C:\\Windows\\x\n");
    let part = image(&stage, &text).await;
    let [only] = &layers(&part)[..] else {
        panic!("{part:?}");
    };
    assert!(only.contains_key("Files/Windows/x"), "{only:?}");

    let base = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
    });
    let base = StandIns::one("distroless.test/static", StandIn::image(&base, &[]));
    let stage = Stage::new(base);
    for (from, made) in [("distroless.test/static", vec![]), ("scratch", vec!["tmp"])] {
        let text = format!("FROM --platform=linux/amd64 {from}\nWORKDIR /tmp\n");
        let ran = stage.run(&text, &super::stage::of("linux/amd64")).await;
        let built = ran.built();
        let found = layers(&built.parts()[0]);
        let names: Vec<&String> = found.iter().flat_map(BTreeMap::keys).collect();
        assert_eq!(names, made, "{from}");
    }
}
