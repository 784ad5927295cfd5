//! The integer programs that are sold by `zkml`: compiled once, and kept in the data folder, so that
//! the program of a package stays the same.

use std::path::{Path, PathBuf};

use assay_engine::ModelPackage;
use assay_primitives::{ModelId, TensorData};
use assay_service::Program;
use assay_zkml::model::{Agreement, MAX_MODEL_BYTES, ModelFile};
use assay_zkml::program::Mode;
use assay_zkml_onnx::{Activations, Options, compile};
use tracing::{info, warn};

use crate::error::CliError;
use crate::files::{self, Readers};

/// The folder of programs in a data folder.
const FOLDER: &str = "programs";

/// The programs of a data folder.
pub(crate) struct Programs {
    folder: PathBuf,
    /// Whether what is compiled is kept there.
    is_kept: bool,
}

/// What a program is compiled with.
#[derive(Default)]
pub(crate) struct Calibration {
    /// Inputs like those to come; the package's samples where there are none.
    pub(crate) inputs: Option<Vec<Vec<f32>>>,
    /// The value that is the output, if not the graph's.
    pub(crate) output: Option<String>,
    /// How finely values between layers are stored.
    pub(crate) activations: Activations,
    /// How its weights are committed to.
    pub(crate) mode: Mode,
}

/// Which packages are to have a program.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Those that can have one.
    WhereItCan,
    /// Those with these names; it is an error if one of them cannot have one.
    Of(&'a [String]),
}

impl Programs {
    /// Those that are read and kept there.
    pub(crate) fn of(data: &Path) -> Self {
        Self { folder: data.join(FOLDER), is_kept: true }
    }

    /// The same, but what is not there is kept nowhere.
    pub(crate) fn seen_in(data: &Path) -> Self {
        Self { is_kept: false, ..Self::of(data) }
    }

    /// Returns where the program of a package is kept.
    fn path(&self, package: ModelId) -> PathBuf {
        self.folder.join(format!("{package}.zkml"))
    }

    /// Reads the programs of packages, and compiles those that are not there yet.
    pub(crate) fn open(
        &self,
        packages: &[ModelPackage],
        wanted: Wanted<'_>,
    ) -> Result<Vec<Program>, CliError> {
        let mut programs = Vec::new();
        for package in packages {
            let name = &package.card().name;
            if matches!(wanted, Wanted::Of(names) if !names.contains(name)) {
                continue;
            }
            if let Some(program) = self.kept(package)? {
                programs.push(program);
                continue;
            }
            match compiled(package, Calibration::default()) {
                Ok(compiled) => {
                    self.keep(package, &compiled.file)?;
                    programs.push(compiled.program);
                }
                Err(error) if matches!(wanted, Wanted::WhereItCan) => {
                    warn!(model = %name, %error, "The model cannot be proven.");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(programs)
    }

    /// Compiles the program of a package that has none, and keeps it.
    pub(crate) fn add(
        &self,
        package: &ModelPackage,
        calibration: Calibration,
    ) -> Result<(Program, Agreement), CliError> {
        let path = self.path(package.id());
        if path.exists() {
            let message = format!("{}: the model has a program already", path.display());
            return Err(CliError::Input(message));
        }
        let Compiled { file, program, agreement } = compiled(package, calibration)?;
        self.keep(package, &file)?;
        Ok((program, agreement))
    }

    /// Reads the program of a package, if it is there.
    fn kept(&self, package: &ModelPackage) -> Result<Option<Program>, CliError> {
        let path = self.path(package.id());
        if !path.exists() {
            return Ok(None);
        }
        let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
        let file = ModelFile::decode(&files::read(&path, MAX_MODEL_BYTES as u64)?);
        let program = Program::new(package, file.map_err(|error| wrong(error.to_string()))?);
        program.map(Some).map_err(|error| wrong(error.to_string()))
    }

    fn keep(&self, package: &ModelPackage, file: &[u8]) -> Result<(), CliError> {
        if self.is_kept {
            files::private_folder(&self.folder).map_err(CliError::io(&self.folder))?;
            files::replace(&self.path(package.id()), file, Readers::Owner)?;
            info!(model = %package.card().name, "The model's program is compiled.");
        }
        Ok(())
    }
}

/// A program, its file, and how it agrees with the float model on what it was calibrated on.
struct Compiled {
    file: Vec<u8>,
    program: Program,
    agreement: Agreement,
}

fn compiled(package: &ModelPackage, calibration: Calibration) -> Result<Compiled, CliError> {
    let Calibration { inputs, output, activations, mode } = calibration;
    let inputs = inputs.unwrap_or_else(|| samples(package));
    let mut options = Options::default();
    options.output = output;
    options.activations = activations;
    options.mode = mode;
    let compiled = compile(package.artifact(), &inputs, &options)
        .map_err(|error| in_model(package, &error))?;
    let agreement = compiled.summary.agreement;
    let file = compiled.into_file(package.card().name.clone());
    let file = file.map_err(|error| in_model(package, &error))?;
    let content = file.encode();
    let program = Program::new(package, file).map_err(|error| in_model(package, &error))?;
    Ok(Compiled { file: content, program, agreement })
}

fn samples(package: &ModelPackage) -> Vec<Vec<f32>> {
    let samples = package.samples();
    let values = (0..samples.len()).filter_map(|index| match samples.get(index)?.input.data() {
        TensorData::Fp32(values) => Some(values.clone()),
        _ => None,
    });
    values.collect()
}

fn in_model(package: &ModelPackage, error: &dyn std::fmt::Display) -> CliError {
    let told = assay_primitives::printable(&error.to_string(), 1_024);
    CliError::Input(format!("model `{}`: {told}", package.card().name))
}
