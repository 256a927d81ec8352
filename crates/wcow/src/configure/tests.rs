use std::time::Duration;

use oci::{Digest, ImageConfig};
use proptest::prelude::*;

use super::*;

const CREATED_AT: &str = "2024-07-06T05:41:17Z";

/// What nanoserver's config is like.
fn nanoserver() -> Value {
    json!({
        "architecture": "amd64",
        "config": {
            "Hostname": "", "Domainname": "", "User": "ContainerUser", "AttachStdin": false,
            "Tty": false, "Env": null, "Cmd": ["c:\\windows\\system32\\cmd.exe"], "Image": "",
            "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": null,
        },
        "created": "2024-07-06T05:41:17.1234567Z",
        "history": [{"created": "2024-07-06T05:41:17.1234567Z", "created_by": "Apply image 10.0.20348.2582"}],
        "os": "windows",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"base").to_string()]},
        "os.version": "10.0.20348.2582",
        "x-unknown": {"kept": [1, null]},
    })
}

fn of(os: TargetOs, base: Value) -> Configuration {
    let Value::Object(base) = base else { panic!() };
    Configuration::of_base(os, base).unwrap()
}

fn windows() -> Configuration {
    of(TargetOs::Windows, nanoserver())
}

fn linux() -> Configuration {
    Configuration::scratch(TargetOs::Linux, "amd64", None)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    let owned = |&(name, value): &(&str, &str)| Pair {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    pairs.iter().map(owned).collect()
}

fn env(name: &str, value: &str) -> Instruction {
    Instruction::Env(pairs(&[(name, value)]))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&it| it.to_owned()).collect()
}

fn exec(it: &[&str]) -> Command {
    Command::Exec(words(it))
}

fn shell(text: &str) -> Command {
    Command::Shell(text.to_owned())
}

/// The `config` after these.
fn after(mut it: Configuration, settings: &[Instruction]) -> Value {
    for setting in settings {
        it.apply(setting).unwrap();
    }
    it.config.map_or(Value::Null, Value::Object)
}

#[test]
fn b14_the_last_env_wins_and_names_have_no_case_on_windows() {
    let settings = [
        Instruction::Env(pairs(&[("Mode", "a"), ("Other", "x=y")])),
        env("MODE", "b"),
    ];
    let it = after(windows(), &settings);
    assert_eq!(
        it["Env"],
        json!(["Mode=b", "Other=x=y"]),
        "the spelling stays"
    );
    let it = after(linux(), &settings);
    assert_eq!(it["Env"], json!(["Mode=a", "Other=x=y", "MODE=b"]));
    for name in ["", "a=b"] {
        let error = windows().apply(&env(name, "x")).unwrap_err();
        assert_eq!(error, ConfigureError::Variable(name.to_owned()));
    }
}

#[test]
fn b14_a_relative_workdir_joins() {
    let dir = |text: &str| Instruction::Workdir(text.to_owned());
    let it = after(windows(), &[dir("/app"), dir("bin")]);
    assert_eq!(it["WorkingDir"], r"C:\app\bin");
    let it = after(linux(), &[dir("/app"), dir("bin")]);
    assert_eq!(it["WorkingDir"], "/app/bin");
}

#[test]
fn b14_entrypoint_resets_the_bases_cmd_and_not_the_builds_own() {
    let entrypoint = Instruction::Entrypoint(exec(&["a.exe"]));
    let cmd = Instruction::Cmd(exec(&["-v"]));
    let it = after(windows(), std::slice::from_ref(&entrypoint));
    assert_eq!(
        (&it["Entrypoint"], &it["Cmd"]),
        (&json!(["a.exe"]), &Value::Null)
    );
    for settings in [[entrypoint.clone(), cmd.clone()], [cmd, entrypoint]] {
        let it = after(windows(), &settings);
        assert_eq!(
            (&it["Entrypoint"], &it["Cmd"]),
            (&json!(["a.exe"]), &json!(["-v"]))
        );
    }
}

#[test]
fn b14_a_text_is_for_the_shell_as_the_classic_builder_has_it() {
    let text = r#"echo "a b" && dir C:\x"#;
    let powershell = Instruction::Shell(words(&["powershell", "-Command"]));
    let cmd = Instruction::Cmd(shell(text));
    let it = after(windows(), std::slice::from_ref(&cmd));
    assert_eq!(
        it["Cmd"],
        json!([format!("cmd /S /C {text}")]),
        "one word, unquoted"
    );
    assert_eq!(it["ArgsEscaped"], true);
    let it = after(windows(), &[powershell.clone(), cmd.clone()]);
    assert_eq!(it["Cmd"], json!([format!("powershell -Command {text}")]));
    assert_eq!(it["Shell"], json!(["powershell", "-Command"]));
    // A list takes the mark away; who says nothing keeps the base's.
    let it = after(
        windows(),
        &[cmd.clone(), Instruction::Cmd(exec(&["a", "b c"]))],
    );
    assert_eq!(
        (&it["Cmd"], it.get("ArgsEscaped")),
        (&json!(["a", "b c"]), None)
    );
    let mut base = nanoserver();
    base["config"]["ArgsEscaped"] = json!(true);
    let it = after(of(TargetOs::Windows, base), &[env("A", "b")]);
    assert_eq!(it["ArgsEscaped"], true);
    // Linux has words and no mark.
    let it = after(linux(), std::slice::from_ref(&cmd));
    assert_eq!(it, json!({"Cmd": ["/bin/sh", "-c", text]}));
    let it = after(
        linux(),
        &[Instruction::Shell(words(&["/bin/bash", "-c"])), cmd],
    );
    assert_eq!(it["Cmd"], json!(["/bin/bash", "-c", text]));
}

#[test]
fn b14_two_forms_on_windows_are_warned_of() {
    let mut it = windows();
    assert_eq!(it.apply(&Instruction::Cmd(shell("-v"))).unwrap(), []);
    let warned = it
        .apply(&Instruction::Entrypoint(exec(&["a.exe"])))
        .unwrap();
    assert_eq!(warned, [ConfigureWarning::TwoForms]);
    let mut it = linux();
    it.apply(&Instruction::Cmd(shell("-v"))).unwrap();
    assert_eq!(
        it.apply(&Instruction::Entrypoint(exec(&["a"]))).unwrap(),
        []
    );
}

#[test]
fn b14_ports_and_volumes_accumulate_and_labels_merge() {
    let mut base = nanoserver();
    base["config"]["ExposedPorts"] = json!({"80/tcp": {}});
    base["config"]["Labels"] = json!({"a": "base", "b": "base"});
    let settings = [
        Instruction::Expose(words(&["53/udp", "8000-8001"])),
        Instruction::Volume(words(&[r"C:\data", "c:/logs"])),
        Instruction::Volume(words(&[r"C:\data"])),
        Instruction::Label(pairs(&[("b", "x"), ("c", "")])),
    ];
    let it = after(of(TargetOs::Windows, base), &settings);
    let ports = json!({"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}});
    assert_eq!(it["ExposedPorts"], ports);
    assert_eq!(
        it["Volumes"],
        json!({r"C:\data": {}, "c:/logs": {}}),
        "as written"
    );
    assert_eq!(it["Labels"], json!({"a": "base", "b": "x", "c": ""}));
}

#[test]
fn b14_user_shell_onbuild_and_maintainer_are_stored() {
    let trigger = r"COPY . C:\app";
    let mut it = windows();
    assert_eq!(
        it.apply(&Instruction::Maintainer("me".into())).unwrap(),
        [ConfigureWarning::Maintainer]
    );
    it.apply(&Instruction::User("ContainerAdministrator".into()))
        .unwrap();
    it.apply(&Instruction::OnBuild(trigger.into())).unwrap();
    assert_eq!(it.triggers().collect::<Vec<_>>(), [trigger]);
    assert_eq!(it.root["author"], "me");
    assert_eq!(it.value("User").unwrap(), "ContainerAdministrator");
    it.forget_triggers();
    assert_eq!(it.triggers().count(), 0);
    for setting in [
        Instruction::User(String::new()),
        Instruction::Shell(Vec::new()),
        Instruction::Volume(words(&[""])),
        Instruction::Workdir(String::new()),
    ] {
        let error = windows().apply(&setting).unwrap_err();
        assert!(matches!(error, ConfigureError::Empty(_)), "{error}");
    }
}

#[test]
fn b14_stopsignal_is_an_error_on_windows_and_stored_on_linux() {
    let signal = |text: &str| Instruction::StopSignal(text.to_owned());
    let error = windows().apply(&signal("SIGTERM")).unwrap_err();
    assert_eq!(error, ConfigureError::StopSignalOnWindows);
    for right in ["SIGTERM", "9", "SIGRTMIN+3", "kill"] {
        assert_eq!(after(linux(), &[signal(right)])["StopSignal"], right);
    }
    for wrong in ["", "0", "65", "SIG", "-9", "SIG TERM"] {
        assert!(linux().apply(&signal(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn b14_a_healthcheck_has_whole_nanoseconds_and_none_is_told() {
    let check = |command| {
        Instruction::Healthcheck(Healthcheck::Check {
            command,

            interval: Some(Duration::from_secs(30)),
            timeout: Some(Duration::from_millis(1500)),
            start_period: Some(Duration::ZERO),
            start_interval: Some(Duration::from_nanos(7)),
            retries: Some(3),
        })
    };
    let it = after(windows(), &[check(shell("app.exe --well || exit 1"))]);
    assert_eq!(
        it["Healthcheck"],
        json!({
            "Test": ["CMD-SHELL", "app.exe --well || exit 1"],
            "Interval": 30_000_000_000_i64, "Timeout": 1_500_000_000, "StartInterval": 7,
            "Retries": 3,
        })
    );
    let it = after(
        windows(),
        &[
            check(exec(&["a.exe", "b"])),
            Instruction::Healthcheck(Healthcheck::None),
        ],
    );
    assert_eq!(it["Healthcheck"], json!({"Test": ["NONE"]}));
}

#[test]
fn a_path_that_hides_the_system_is_refused_and_one_that_does_not_is_not() {
    let error = windows().apply(&env("Path", r"C:\app;")).unwrap_err();
    assert!(
        matches!(error, ConfigureError::PathHidesSystem { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("--windows-path-default") && text.contains("${PATH}"),
        "{text}"
    );
    let whole = format!(r"C:\app;{}", windows().path_in_registry());
    assert_eq!(
        after(windows(), &[env("PATH", &whole)])["Env"],
        json!([format!("PATH={whole}")])
    );
    // None is invented.
    assert_eq!(after(windows(), &[env("A", "b")])["Env"], json!(["A=b"]));
    assert_eq!(
        after(linux(), &[env("PATH", "/app")])["Env"],
        json!(["PATH=/app"])
    );
}

#[test]
fn e7_every_field_goes_through_dockers_schema_and_back() {
    let mut it = windows();
    for setting in [
        Instruction::Env(pairs(&[("A", "b")])),
        Instruction::Workdir("app".into()),
        Instruction::Entrypoint(exec(&["a.exe"])),
        Instruction::Cmd(exec(&["-v"])),
        Instruction::User("ContainerUser".into()),
        Instruction::Expose(words(&["80"])),
        Instruction::Volume(words(&["C:\\data"])),
        Instruction::Label(pairs(&[("l", "v")])),
        Instruction::Shell(words(&["cmd", "/C"])),
        Instruction::OnBuild("ENV X=y".into()),
        Instruction::Healthcheck(Healthcheck::Check {
            command: exec(&["a.exe"]),
            interval: Some(Duration::from_secs(5)),
            timeout: None,
            start_period: None,
            start_interval: None,
            retries: None,
        }),
    ] {
        it.apply(&setting).unwrap();
    }
    let bytes = it.finish(CREATED_AT);
    let read = ImageConfig::from_slice(&bytes).unwrap();
    let again: Value = serde_json::to_value(&read).unwrap();
    assert_eq!(again, serde_json::from_slice::<Value>(&bytes).unwrap());
    let config = &again["config"];
    for (key, expected) in [
        ("Env", json!(["A=b"])),
        ("WorkingDir", json!(r"C:\app")),
        ("Entrypoint", json!(["a.exe"])),
        ("Cmd", json!(["-v"])),
        ("User", json!("ContainerUser")),
        ("ExposedPorts", json!({"80/tcp": {}})),
        ("Volumes", json!({r"C:\data": {}})),
        ("Labels", json!({"l": "v"})),
        ("Shell", json!(["cmd", "/C"])),
        ("OnBuild", json!(["ENV X=y"])),
        (
            "Healthcheck",
            json!({"Test": ["CMD", "a.exe"], "Interval": 5_000_000_000_i64}),
        ),
    ] {
        assert_eq!(config[key], expected, "{key}");
    }
    let mut it = linux();
    it.apply(&Instruction::StopSignal("SIGINT".into())).unwrap();
    let it: Value = serde_json::from_slice(&it.finish(CREATED_AT)).unwrap();
    assert_eq!(it["config"], json!({"StopSignal": "SIGINT"}));
}

#[test]
fn e8_a_childs_config_is_the_bases_with_unknown_keys_and_nulls_kept() {
    let mut it = windows();
    it.apply(&Instruction::User("me".into())).unwrap();
    let child: Value = serde_json::from_slice(&it.finish(CREATED_AT)).unwrap();
    let mut expected = nanoserver();
    expected["config"]["User"] = json!("me");
    expected["created"] = json!(CREATED_AT);
    assert_eq!(child, expected);
    // What is not there stays away, too.
    let mut bare = nanoserver();
    bare["config"] = Value::Null;
    let child: Value = serde_json::from_slice(&of(TargetOs::Windows, bare).finish("x")).unwrap();
    assert_eq!(child["config"], Value::Null);
}

#[test]
fn e8_a_base_that_is_no_config_is_named_by_its_key() {
    for (key, value) in [
        ("config", json!([])),
        ("rootfs", json!(null)),
        ("rootfs", json!({"diff_ids": {}})),
        ("history", json!("x")),
    ] {
        let mut base = nanoserver();
        base[key] = value;
        let Value::Object(base) = base else { panic!() };
        let error = Configuration::of_base(TargetOs::Windows, base).unwrap_err();
        assert!(error.to_string().starts_with(key), "{error}");
    }
    let mut base = nanoserver();
    base["config"]["Env"] = json!("A=b");
    let error = of(TargetOs::Windows, base)
        .apply(&env("A", "c"))
        .unwrap_err();
    assert_eq!(
        error,
        ConfigureError::Base {
            key: "Env",
            expected: "a list"
        }
    );
}

#[test]
fn e6_history_has_the_bases_steps_first_and_says_which_made_no_layer() {
    let mut it = windows();
    it.step(CREATED_AT, "ENV A=b");
    it.step_with_layer(CREATED_AT, r"COPY a C:\a", &Digest::of(b"layer"));
    assert_eq!((it.steps_with_layer(), it.diff_ids().len()), (2, 2));
    let it: Value = serde_json::from_slice(&it.finish(CREATED_AT)).unwrap();
    assert_eq!(
        it["history"],
        json!([
            {"created": "2024-07-06T05:41:17.1234567Z", "created_by": "Apply image 10.0.20348.2582"},
            {"created": CREATED_AT, "created_by": "ENV A=b", "empty_layer": true},
            {"created": CREATED_AT, "created_by": r"COPY a C:\a"},
        ])
    );
    let layers = [
        Digest::of(b"base").to_string(),
        Digest::of(b"layer").to_string(),
    ];
    assert_eq!(it["rootfs"], json!({"type": "layers", "diff_ids": layers}));
}

proptest! {
    #[test]
    fn b14_the_last_of_any_envs_is_what_the_container_sees(
        said in proptest::collection::vec(("[A-Ca-c]{1,2}", "[ -~]{0,6}"), 1..12)
    ) {
        for (mut it, os) in [(windows(), TargetOs::Windows), (linux(), TargetOs::Linux)] {
            for (name, value) in &said {
                it.apply(&env(name, value)).unwrap();
            }
            for (name, _) in &said {
                let (_, last) = said.iter().rfind(|(it, _)| same_variable(os, it, name)).unwrap();
                let seen: Vec<_> = it.env().filter(|(it, _)| same_variable(os, it, name)).collect();
                prop_assert_eq!(seen.len(), 1);
                prop_assert_eq!(seen[0].1, last);
            }
        }
    }
}
