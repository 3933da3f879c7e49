//! The far side of the old scp protocol: `scp -t` takes a file, `scp -f` gives one.

use super::sftp::Stream;
use super::{Lie, Mind};
use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(super) async fn serve(stream: &mut impl Stream, mind: &Mind, command: &str) -> Result<()> {
    match mind.lie() {
        Lie::Warns => stream.write_all(b"\x01scp: warning: not today\n").await?,
        Lie::Full => {
            stream
                .write_all(b"\x02scp: No space left on device\n")
                .await?
        }
        Lie::Noise => stream.write_all(&[0xDE, 0xAD, 0xBE, 0xEF, 7, 9]).await?,
        Lie::EndlessText => {
            stream.write_all(b"\x02").await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Lie::Silent => loop {
            stream.read_u8().await?;
        },
        _ => {
            let (what, path) = command.split_once(" -- ").context("no path")?;
            let path = path.trim_matches('\'');
            return match what {
                "scp -t" => take(stream, mind, path).await,
                "scp -f" => give(stream, mind, path).await,
                other => bail!("{other} is none of a transfer"),
            };
        }
    }
    bail!("a lie was told")
}

async fn line(stream: &mut impl Stream) -> Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8(line)?),
            byte => line.push(byte),
        }
    }
}

async fn agreed(stream: &mut impl Stream) -> Result<()> {
    ensure!(stream.read_u8().await? == 0, "it does not agree");
    Ok(())
}

async fn take(stream: &mut impl Stream, mind: &Mind, path: &str) -> Result<()> {
    stream.write_all(&[0]).await?;
    let head = line(stream).await?;
    let count = head.split(' ').nth(1).context("a length")?.parse()?;
    stream.write_all(&[0]).await?;
    let mut file = vec![0; count];
    if mind.lie() == Lie::Leaves {
        stream.read_exact(&mut file[..count / 2]).await?;
        bail!("it leaves");
    }
    stream.read_exact(&mut file).await?;
    agreed(stream).await?;
    mind.files.lock().unwrap().insert(path.to_owned(), file);
    stream.write_all(&[0]).await?;
    Ok(())
}

async fn give(stream: &mut impl Stream, mind: &Mind, path: &str) -> Result<()> {
    agreed(stream).await?;
    let file = mind.files.lock().unwrap().get(path).cloned();
    let Some(mut file) = file else {
        let said = format!("\x01scp: {path}: No such file or directory\n");
        stream.write_all(said.as_bytes()).await?;
        bail!("no such file");
    };
    if mind.lie() == Lie::OtherBytes {
        file.iter_mut().for_each(|byte| *byte ^= 1);
    }
    let head = format!("C0600 {} x\n", file.len());
    stream.write_all(head.as_bytes()).await?;
    agreed(stream).await?;
    stream.write_all(&file).await?;
    stream.write_all(&[0]).await?;
    agreed(stream).await
}
